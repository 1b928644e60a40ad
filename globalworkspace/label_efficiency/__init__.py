"""How many matched rows a recipe needs for a given error, against other recipes and closed forms.

`label_efficiency` trains a grid of matched rows x recipes x seeds, whatever part of it a folder
does not hold yet; `factors` says how many times fewer pairs one recipe needs than another; `draw`
makes the figure.
"""

from __future__ import annotations

from globalworkspace.label_efficiency.factors import Factor as Factor
from globalworkspace.label_efficiency.factors import error_ratio as error_ratio
from globalworkspace.label_efficiency.factors import interval as interval
from globalworkspace.label_efficiency.factors import pairs_factor as pairs_factor
from globalworkspace.label_efficiency.grid import Grid as Grid
from globalworkspace.label_efficiency.grid import label_efficiency as label_efficiency
