"""Where airplanes go: files (`files`), and a Beam transform per output format (`transforms`)."""

GEOJSON_SUFFIX = ".geojson"
