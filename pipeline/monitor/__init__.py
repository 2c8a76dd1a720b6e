"""Airport monitoring on a schedule: new scenes in, counts, changes and alerts out.

`airports` and `settings` are what a user writes. `scenes` finds the scenes of an airport, `detection` runs the main
pipeline on them, `store` keeps what came out. All else is computed from that by pure functions over tables: `visits`,
`counts`, `changes`, `baseline`, `alerts`. `run` puts them together.
"""
