"""The second look at a finding: a 3D network on a patch around it says how likely it is a lesion (algorithms 4.6)."""
