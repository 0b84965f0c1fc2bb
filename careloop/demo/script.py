"""What is said and written in the play: all invented, codes where the field has them."""

PLAN = b"""Food plan for the next four weeks

Low salt, high fibre. Fresh produce twice a week, delivered.
Prepared by the clinic's dietitian for the food bank.
"""
# AHC-HRSN answers by LOINC code: worried about food, a steady place to live, no transport problem.
ANSWERS = (
    ("71802-3", "LA31993-1"),
    ("88122-7", "LA28397-0"),
    ("88123-5", "LA6729-3"),
    ("93030-5", "LA32-8"),
)
CLINICAL_NOTE = (
    "HbA1c has risen to 8.1 %. Diet is the first thing to change; recheck in three months."
)
COORDINATION_NOTE = "Prefers calls after four in the afternoon."
OUTCOME = "Produce box twice a week for four weeks, delivered at home."
