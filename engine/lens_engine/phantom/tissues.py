"""Hounsfield units of the tissues of a phantom in each contrast phase, and what they are in patients.

Expected values and tolerances follow textbook ranges: Hounsfield scale (air -1000, water 0); lung parenchyma -700 to
-900; fat -50 to -130; unenhanced muscle 35 to 60, liver 50 to 65, spleen 40 to 55, kidney 25 to 40, blood 30 to 50;
portal venous liver 100 to 120, spleen 110 to 130, kidney 150 to 200, aorta and portal vein 130 to 180; vertebral
trabecular bone 100 to 250 and compact bone above 300 (Prokop and Galanski, Spiral and Multislice Computed Tomography of
the Body; Kamalian, Lev and Gupta, Handbook of Clinical Neurology 135, 2016).
"""

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """When after the injection of contrast medium the scan was taken."""

    NATIVE = "native"
    ARTERIAL = "arterial"
    PORTAL = "portal"


class Tissue(StrEnum):
    """What a body of the phantom is made of."""

    AIR = "air"
    LUNG = "lung"
    FAT = "fat"
    SKIN = "skin"
    MUSCLE = "muscle"
    LIVER = "liver"
    SPLEEN = "spleen"
    KIDNEY_CORTEX = "kidney cortex"
    KIDNEY_MEDULLA = "kidney medulla"
    PANCREAS = "pancreas"
    MYOCARDIUM = "myocardium"
    ARTERY = "artery"
    VEIN = "vein"
    PULMONARY_VESSEL = "pulmonary vessel"
    BOWEL_WALL = "bowel wall"
    BOWEL_CONTENT = "bowel content"
    FLUID = "fluid"
    SPINAL_CANAL = "spinal canal"
    DISC = "disc"
    CARTILAGE = "cartilage"
    SPONGY_BONE = "spongy bone"
    COMPACT_BONE = "compact bone"
    TUMOUR = "tumour"
    LIVER_TUMOUR = "liver tumour"
    LYMPH_NODE = "lymph node"
    SCLEROTIC_TUMOUR = "sclerotic tumour"


@dataclass(frozen=True, slots=True)
class Attenuation:
    """Mean HU of a tissue in each phase and how far a patient's may lie from it."""

    native: float
    arterial: float
    portal: float
    tolerance_hu: float

    def in_phase(self, phase: Phase) -> float:
        """Return the mean in one phase."""
        return {Phase.NATIVE: self.native, Phase.ARTERIAL: self.arterial, Phase.PORTAL: self.portal}[phase]


ATTENUATIONS: dict[Tissue, Attenuation] = {
    Tissue.AIR: Attenuation(-1000, -1000, -1000, 10),
    Tissue.LUNG: Attenuation(-850, -845, -840, 80),
    Tissue.FAT: Attenuation(-100, -100, -100, 20),
    Tissue.SKIN: Attenuation(10, 15, 20, 40),
    Tissue.MUSCLE: Attenuation(50, 55, 60, 15),
    Tissue.LIVER: Attenuation(55, 70, 110, 15),
    Tissue.SPLEEN: Attenuation(48, 115, 120, 15),
    Tissue.KIDNEY_CORTEX: Attenuation(34, 165, 185, 30),
    Tissue.KIDNEY_MEDULLA: Attenuation(30, 70, 165, 30),
    Tissue.PANCREAS: Attenuation(40, 95, 90, 20),
    Tissue.MYOCARDIUM: Attenuation(45, 95, 110, 20),
    Tissue.ARTERY: Attenuation(42, 280, 150, 30),
    Tissue.VEIN: Attenuation(42, 75, 160, 30),
    Tissue.PULMONARY_VESSEL: Attenuation(40, 180, 140, 40),
    Tissue.BOWEL_WALL: Attenuation(42, 75, 90, 25),
    Tissue.BOWEL_CONTENT: Attenuation(18, 18, 18, 20),
    Tissue.FLUID: Attenuation(4, 4, 4, 10),
    Tissue.SPINAL_CANAL: Attenuation(22, 24, 26, 15),
    Tissue.DISC: Attenuation(80, 80, 80, 25),
    Tissue.CARTILAGE: Attenuation(105, 105, 105, 40),
    Tissue.SPONGY_BONE: Attenuation(190, 190, 200, 90),
    Tissue.COMPACT_BONE: Attenuation(620, 620, 620, 320),
    Tissue.TUMOUR: Attenuation(38, 68, 76, 25),
    Tissue.LIVER_TUMOUR: Attenuation(34, 46, 58, 20),
    Tissue.LYMPH_NODE: Attenuation(38, 66, 84, 20),
    Tissue.SCLEROTIC_TUMOUR: Attenuation(680, 680, 680, 150),
}


def hu_of(tissue: Tissue, phase: Phase) -> float:
    """Return the mean HU of a tissue in a phase."""
    return ATTENUATIONS[tissue].in_phase(phase)
