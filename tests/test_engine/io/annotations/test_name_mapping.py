import csv

from lens_engine.io.annotations.name_mapping import NameMapping, write_name_mapping
from lens_engine.io.series import SeriesFormat, SeriesSource


def test_every_exported_name_leads_to_its_scan(tmp_path):
    source = SeriesSource(SeriesFormat.DICOM, (tmp_path / "a, b" / "1.dcm", tmp_path / "a, b" / "2.dcm"), "1.2.3")
    rows = [NameMapping("000001_01_01_001-060", "chest", source), NameMapping("000002_01_01_001-009", "other", None)]
    write_name_mapping(tmp_path / "mapping.csv", rows)
    with (tmp_path / "mapping.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["exported_name"] == "000001_01_01_001-060"
    assert (first["format"], first["series_uid"]) == ("dicom", "1.2.3")
    assert first["first_file"] == str(tmp_path / "a, b" / "1.dcm")
    assert (second["series_name"], second["first_file"]) == ("other", "")
