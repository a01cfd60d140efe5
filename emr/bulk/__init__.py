"""Pulling a whole Group by bulk export: when that is possible and due, and one leased step of it after the other.

`opening` opens exports, `waiting` names the steps that a worker could take, `running` takes one (and loads the
validator: workers only), `standing` says how one stands. Refused once, an export is not asked for again until something
changed (`paths.export_refusal`), and the plan is followed patient by patient.
"""
