"""The keypoint network: nose, tail and wingtips of one airplane in a crop."""
