"""CT series in one image file each: NIfTI, MetaImage and NRRD."""
