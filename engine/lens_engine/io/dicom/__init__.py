"""CT series in DICOM files: headers, geometry and pixels."""
