"""The file that the Flex Template's launcher runs, with the template's parameters as `--name=value`."""

import sys

from pipeline.flex_template import launch

sys.exit(launch())
