"""Files out: results as a CSV file for each day, and kept images to a folder, SFTP (extra ``sftp``) or S3 (``s3``)."""

from edge_ad.controllers.adapter import Protocol
from edge_ad.controllers.files.files_settings import FilesSettings, check
from edge_ad.controllers.files.service import run

__all__ = ["PROTOCOL", "FilesSettings"]

PROTOCOL = Protocol(FilesSettings, check, run)
