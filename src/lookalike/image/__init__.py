"""Find, decode, resize and edit images.

Importing this package does not import OpenCV, Pillow, imagecodecs or pyarrow; each is imported where it is used.
"""

from typing import TYPE_CHECKING

from lookalike.deprecation import renamed
from lookalike.image.containers.raw import is_raw_file
from lookalike.image.convert import to_rgb
from lookalike.image.decoding.decode import DecodedImage, decode, decode_frames
from lookalike.image.decoding.formats import EXTENSIONS, RAW_EXTENSIONS
from lookalike.image.decoding.guarded import DecoderFailed, GuardedDecoder
from lookalike.image.decoding.header import read_header
from lookalike.image.decoding.limits import Limits
from lookalike.image.decoding.types import ImageHeader
from lookalike.image.edits import EDITS, Edit, get_edit
from lookalike.image.photo_facts import PhotoFacts, photo_facts
from lookalike.image.resize import crop, decode_side, fit, is_plain, thumbnail
from lookalike.image.sources.archive import close_archives
from lookalike.image.sources.files import absolute_text
from lookalike.image.sources.find import find, read_list
from lookalike.image.sources.path_text import to_path, to_text
from lookalike.image.sources.read import read
from lookalike.image.sources.source_types import NotListed, SkippedFiles, SourceFile, is_hidden
from lookalike.image.sources.system_folders import SystemFolder, is_system_folder, system_folder_of
from lookalike.image.threads import single_threaded_blas, single_threaded_opencv

__all__ = [
    "EDITS",
    "EXTENSIONS",
    "RAW_EXTENSIONS",
    "DecodedImage",
    "DecoderFailed",
    "Edit",
    "GuardedDecoder",
    "ImageHeader",
    "Limits",
    "NotListed",
    "PhotoFacts",
    "SkippedFiles",
    "SourceFile",
    "SystemFolder",
    "absolute_text",
    "close_archives",
    "crop",
    "decode",
    "decode_frames",
    "decode_side",
    "find",
    "fit",
    "get_edit",
    "is_hidden",
    "is_plain",
    "is_raw_file",
    "is_system_folder",
    "photo_facts",
    "read",
    "read_header",
    "read_list",
    "single_threaded_blas",
    "single_threaded_opencv",
    "system_folder_of",
    "thumbnail",
    "to_path",
    "to_rgb",
    "to_text",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(
        __name__,
        {
            "Found": "SourceFile",
            "Header": "ImageHeader",
            "Picture": "DecodedImage",
        },
    )
