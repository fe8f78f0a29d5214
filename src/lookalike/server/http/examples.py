"""OpenAPI examples: one per schema, by the name of its class in schemas.py, and one per upload form."""

from typing import Any

ID = "Pictures/sea.jpg"
HIT: dict[str, Any] = {"id": ID, "score": 0.934512, "metadata": {"width": 4000, "height": 3000, "label": "sea"}}
CONTAINMENT: dict[str, Any] = {
    "kind": "holds",
    "box": [-1.1, -0.1, 2.2, 2.2],
    "outline": [[-1.1, -0.1], [1.1, -0.1], [1.1, 2.1], [-1.1, 2.1]],
    "query_outline": [[0.5, 0.0455], [0.9545, 0.0455], [0.9545, 0.5], [0.5, 0.5]],
    "query_part": [[0.5, 0.0455], [0.9545, 0.0455], [0.9545, 0.5], [0.5, 0.5]],
    "part": [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]],
    "share": 1.0,
    "turn": 0.0,
    "scale": 2.0,
    "mirrored": False,
    "relation": "copy",
    "probability": 0.998,
    "inliers": 81,
}
IMAGE: dict[str, Any] = {"id": ID, "metadata": {"width": 4000, "height": 3000, "label": "sea"}}
FAILURE: dict[str, Any] = {"file": "Pictures/x.jpg", "reason": "is empty (0 bytes)"}
LABEL: dict[str, Any] = {"label": "sea", "images": 120, "named": 310, "examples": [ID]}
SPREAD: dict[str, Any] = {"id": ID, "label": "sea", "confidence": 0.97, "metadata": {}}
SUSPECT: dict[str, Any] = {
    "id": "Pictures/x.jpg",
    "label": "sea",
    "instead": "sky",
    "confidence": 0.93,
    "neighbors": ["Pictures/sky.jpg"],
    "neighbours": ["Pictures/sky.jpg"],
}
MAP_COLORING: dict[str, Any] = {"title": "label", "names": ["sea"], "of": [0]}
THRESHOLD_MEANING: dict[str, Any] = {"score": 0.8, "expected_false": 0.02, "copy_probability": 0.4}
JOB: dict[str, Any] = {
    "job": "a1b2c3d4",
    "kind": "index",
    "state": "running",
    "done": 120,
    "total": 500,
    "message": "",
    "report": None,
}
CHANGE: dict[str, Any] = {"kind": "scale", "values": {"factor": 0.25}}
DUPLICATE: dict[str, Any] = {
    "id": "Pictures/sea-small.jpg",
    "score": 0.981,
    "relation": "copy",
    "probability": 0.998,
    "words": "scaled to 25%; 63 matching points",
    "changes": [CHANGE],
    "reason": "larger: 4000 × 3000 against 1000 × 750 pixels",
    "transform": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
    "verdict": None,
    "chosen": False,
    "kinds": ["resized"],
    "unsure": False,
    "left": "",
    "companions": [],
    "metadata": {"width": 1000, "height": 750},
}
GROUP: dict[str, Any] = {"keep": IMAGE, "chosen": False, "extras": [DUPLICATE]}
JOURNAL: dict[str, Any] = {
    "journal": "20260131-120000-0123abcd",
    "created": "2026-01-31T12:00:00+00:00",
    "moved": 12,
    "restored": 0,
    "bytes": 34_000_000,
}
CLUSTER: dict[str, Any] = {
    "key": "64/12",
    "parent": "8/1",
    "size": 180,
    "tightness": 0.81,
    "name": "sea",
    "labels": [{"label": "sea", "images": 12}],
    "labeled": 14,
    "labelled": 14,
    "examples": [ID],
}

HIT_SUMMARY: dict[str, Any] = {"judged": 1, "copies": 1, "possible": 0, "undecided": 0, "strongest": "copy"}
FACET = {"values": [{"value": "JPEG", "images": 11802}], "more": 4, "images": 12034}
FOLDER = {"name": "2019", "below": "Pictures/2019", "images": 310}
EXAMPLES: dict[str, dict[str, Any]] = {
    "ErrorOut": {
        "type": "urn:lookalike:unknown_id",
        "title": "unknown id",
        "status": 404,
        "detail": "no image has the id 'x'",
        "error": "unknown_id",
        "message": "no image has the id 'x'",
    },
    "ContainmentOut": CONTAINMENT,
    "HitOut": HIT,
    "HitSummaryOut": HIT_SUMMARY,
    "SearchOut": {"query": ["query:0123…"], "hits": [HIT], "seconds": 0.021, "summary": HIT_SUMMARY},
    "SavedQueryOut": {"query": "query:0123…", "width": 800, "height": 600, "format": "JPEG"},
    "ImageOut": IMAGE,
    "ImageList": {"images": [{"id": ID, "metadata": {}}], "total": 1},
    "RefusedImage": {"name": "b.png", "reason": "the image is damaged (truncated)"},
    "AddedOut": {"ids": ["0123456789abcdef"], "added": 1, "changed": 0, "failed": []},
    "RemovedOut": {"removed": 1},
    "ImagePatch": {"label": "sea"},
    "FacetValueOut": {"value": "JPEG", "images": 11802},
    "FacetOut": FACET,
    "FacetsOut": {"facets": {"format": FACET}},
    "FolderOut": FOLDER,
    "FoldersOut": {"folders": [FOLDER], "images": 3},
    "CollectionOut": {
        "images": 12034,
        "plain": 12,
        "failed": 3,
        "model": "efficientnet-lite1.two-parts",
        "dim": 512,
        "license": "Apache-2.0",
        "licence": "Apache-2.0",
        "roots": [{"name": "Pictures", "kind": "folder", "present": True}],
        "columns": {"width": "int"},
        "local_features": True,
        "words": False,
        "vector_parts": ["alike", "copy"],
        "added_models": ["clip"],
        "may_write": True,
    },
    "FailureOut": FAILURE,
    "FailureList": {"failures": [FAILURE], "total": 1},
    "LabelOut": LABEL,
    "LabelList": {"labels": [LABEL], "without": 7, "unsure": 2},
    "LabelIn": {"label": "sea", "ids": [ID]},
    "LabeledOut": {"labeled": 1, "labelled": 1},
    "SpreadOut": SPREAD,
    "SpreadList": {"images": [SPREAD], "total": 310},
    "SuspectOut": SUSPECT,
    "SuspectList": {"when": "2026-01-31T12:00:00+00:00", "suspects": [SUSPECT]},
    "MapColoring": MAP_COLORING,
    "MapOut": {
        "waiting": 0,
        "total": 1,
        "ids": [ID],
        "x": [0.1],
        "y": [-0.2],
        "palette": ["#4269d0"],
        "groups": [MAP_COLORING],
    },
    "ThresholdMeaning": THRESHOLD_MEANING,
    "ScoresOut": {"pairs": 100000, "scores": [0.31], "shares": [0.001], "meaning": [THRESHOLD_MEANING]},
    "JobIn": {"kind": "index"},
    "JobOut": JOB,
    "JobList": {"jobs": [JOB]},
    "HealthOut": {"status": "ok", "message": ""},
    "LoginIn": {"token": "a secret from the token file"},
    "ComparisonOut": {
        "relation": "copy",
        "probability": 0.998,
        "copy_probability": 0.998,
        "expected_false_matches": 0.0001,
        "score": 0.912,
        "same_bytes": False,
        "same_pixels": False,
        "inliers": 81,
        "matches": 94,
        "model": "similarity",
        "mirrored": False,
        "turn": 0.0,
        "scale": 1.0,
        "kept_first": 0.62,
        "kept_second": 1.0,
        "structure": 0.97,
        "residual": 0.4,
        "outline": [[-0.13, -0.13], [1.13, -0.13], [1.13, 1.13], [-0.13, 1.13]],
        "words": "copy: 62% crop, made darker; 81 matching points",
        "changes": [
            {"kind": "crop", "values": {"share": 0.62}},
            {"kind": "brightness", "values": {"levels": -20.0}},
        ],
    },
    "ChangeOut": CHANGE,
    "DuplicateOut": DUPLICATE,
    "GroupOut": GROUP,
    "DuplicatesOut": {
        "when": "2026-01-31T12:00:00+00:00",
        "images": 1000,
        "pictures": 1000,
        "total": 1,
        "groups": [GROUP],
    },
    "DecisionIn": {"first": "a/1.jpg", "second": "a/2.jpg", "verdict": "not-a-copy"},
    "DecisionsIn": {"decisions": [{"first": "a/1.jpg", "second": "a/2.jpg", "verdict": "copy"}]},
    "DecisionsOut": {"decided": 1},
    "JournalOut": JOURNAL,
    "ApplyOut": {
        "allowed": True,
        "reason": "",
        "command": "lookalike duplicates -c photos.lookalike --last --accepted-only --apply trash --journal j.jsonl",
        "files": 12,
        "bytes": 34_000_000,
        "journals": [JOURNAL],
    },
    "ApplyIn": {"when": "2026-01-31T12:00:00+00:00", "files": 12},
    "UndoIn": {"journal": "20260131-120000-0123abcd"},
    "ChoiceIn": {"id": ID, "keep": True},
    "ChoiceOut": {"id": ID, "keep": True},
    "DecisionOut": {"first": "a/1.jpg", "second": "a/2.jpg", "verdict": "not-a-copy"},
    "ClusterLabel": {"label": "sea", "images": 12},
    "ClusterOut": CLUSTER,
    "ClustersOut": {"levels": [8, 64], "level": 64, "clusters": [CLUSTER]},
}

IMAGE_BYTES = "(the bytes of an image file)"
FORMS: dict[str, dict[str, Any]] = {
    "search": {"image": [IMAGE_BYTES], "minus": [f"id:{ID}"], "region": ["0.1,0.2,0.5,0.5"]},
    "keep": {"image": IMAGE_BYTES},
    "add": {"image": [IMAGE_BYTES], "id": ["shop/1"], "metadata": ['{"price": 3, "label": "shoe"}']},
    "compare": {"image": [IMAGE_BYTES], "like": [ID]},
}
