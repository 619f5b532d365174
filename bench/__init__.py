"""How fast feedmesh is: ratios against ceilings that are driven in the same run."""
