"""Find CT series in files and folders of any supported format, and read their voxels."""

from lens_engine.io.series_source import FoundSeries, ScanReport, SeriesFormat, SeriesSource

__all__ = ["FoundSeries", "ScanReport", "SeriesFormat", "SeriesSource"]
