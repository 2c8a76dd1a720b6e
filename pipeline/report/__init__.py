"""The report of a run: one self-contained HTML page (`page`) with the data of its scenes (`scenes`)."""

FILE_NAME = "report.html"
