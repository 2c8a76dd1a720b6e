"""Airport monitoring on a schedule: new scenes in, counts, changes and alerts out.

`airports` and `settings` are what a user writes. `scenes` finds the scenes of an airport, `detection` runs the main
pipeline on them, `store` keeps the results. Pure functions over tables compute the rest: `visits`, `counts`, `changes`,
`baseline`, `alerts`. `run` puts them together; `report` and `bigquery` show what is stored.
"""
