"""The project's database and files: catalog, annotations, detections, candidates, decisions, snapshots, models."""
