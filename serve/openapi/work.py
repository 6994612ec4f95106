"""Jobs and training sets in the document."""

from __future__ import annotations

from skewless.serve import examples
from skewless.serve.openapi.build import Json, body, obj, operation, path_parameter
from skewless.serve.openapi.lookups import view_id

KEY: Json = {
    "name": "Idempotency-Key", "in": "header", "required": False, "schema": {"type": "string", "minLength": 1, "maxLength": 200},
    "description": "The same key gives the same job, however often it is sent.",
}
TEXT, MAYBE = {"type": "string"}, {"type": ["string", "null"]}
INSTANT: Json = {"type": "string", "format": "date-time"}
MAYBE_INSTANT: Json = {"type": ["string", "null"], "format": "date-time"}
JOB_STATUSES = ["submitted", "running", "complete", "failed", "cancelled"]
DATASET_STATUSES = ["pending", "running", "complete", "failed", "cancelled"]


def work_paths() -> Json:
    """Everything that `skewless worker` does."""
    begun = {"job_id": examples.JOB["job_id"], "status": "submitted"}
    begin = operation("materialize", "Compute a view and push it, as a job", "JobBegun",
                      ["400", "404", "409", "413", "415", "422", "501"], begun, status="202", tag="jobs", scope="write")
    begin["requestBody"] = body("MaterializeRequest", examples.MATERIALIZE, required=False)
    begin["parameters"] = [KEY]
    job = operation("readJob", "How far a job is", "Job", ["404", "501"], examples.JOB, tag="jobs")
    cancel = operation("cancelJob", "Cancel a job that waits; tell one that runs to stop", "Job", ["404", "409", "501"],
                       examples.JOB, status="202", tag="jobs", scope="write")
    id_ = path_parameter("id", examples.JOB["job_id"], "The job's id.")
    return {
        "/feature-views/{id}/materialize": {"post": begin, "parameters": [view_id()]},
        "/jobs/{id}": {"get": job, "parameters": [id_]},
        "/jobs/{id}/cancel": {"post": cancel, "parameters": [id_]},
        **_dataset_paths(),
    }


def _dataset_paths() -> Json:
    make = operation("makeTrainingSet", "Join features to a label frame, as a job of the same id", "TrainingSetBegun",
                     ["400", "404", "413", "415", "422", "501"], {"dataset_id": examples.JOB["job_id"], "status": "pending"},
                     status="202", tag="training sets", scope="write")
    make["requestBody"] = body("TrainingSetRequest", examples.TRAINING_REQUEST)
    make["parameters"] = [KEY]
    every = operation("listTrainingSets", "The newest training sets, newest first", "TrainingSetList", ["501"],
                      tag="training sets")
    one = operation("readTrainingSet", "One training set, with its manifest", "TrainingSet", ["404", "501"], tag="training sets")
    id_ = path_parameter("id", examples.JOB["job_id"], "The training set's id.")
    return {"/training-datasets": {"get": every, "post": make}, "/training-datasets/{id}": {"get": one, "parameters": [id_]}}


def work_schemas() -> Json:
    """What jobs and training sets take and give."""
    error: Json = {"anyOf": [{"type": "null"}, obj({"code": TEXT, "detail": TEXT})]}
    progress: Json = {"type": "number", "minimum": 0, "maximum": 1}
    job = obj({
        "job_id": {"type": "string", "format": "uuid"}, "kind": TEXT, "subject": TEXT, "status": {"enum": JOB_STATUSES},
        "progress": progress, "note": TEXT, "arguments": {"type": "object"},
        "result": {"type": ["object", "null"]}, "error": error,
        "attempts": {"type": "integer", "minimum": 0}, "submitted_at": INSTANT, "started_at": MAYBE_INSTANT,
        "finished_at": MAYBE_INSTANT,
    })
    brief = {
        "dataset_id": TEXT, "name": TEXT, "status": {"enum": DATASET_STATUSES}, "progress": {"type": ["number", "null"]},
        "output_path": MAYBE, "row_count": {"type": ["integer", "null"]}, "content_hash": MAYBE, "error": MAYBE,
        "created_at": INSTANT,
    }
    listed: Json = {"type": "array", "items": obj(brief)}
    return {
        "JobBegun": obj({"job_id": TEXT, "status": {"enum": JOB_STATUSES}}), "Job": job,
        "TrainingSetBegun": obj({"dataset_id": TEXT, "status": {"const": "pending"}}),
        "TrainingSet": obj({**brief, "manifest": {"type": ["object", "null"]}}),
        "TrainingSetList": obj({"training_datasets": listed}), **_requests(),
    }


def _requests() -> Json:
    materialize: Json = {
        "type": "object", "additionalProperties": False, "description": "Without dates: what is due.",
        "properties": {
            "start_date": {"type": "string", "description": "RFC 3339 instant or date."},
            "end_date": {"type": "string", "description": "The same, exclusive; goes with start_date."},
            "target": {"enum": ["offline", "online", "both"], "default": "both"},
        },
    }
    training: Json = {
        "type": "object", "additionalProperties": False, "required": ["labels"],
        "oneOf": [{"required": ["feature_service"]}, {"required": ["features"]}],
        "properties": {
            "labels": {"type": "string", "description": "A Parquet or CSV file below serve.labels_root, or ref:<dbt model>."},
            "feature_service": TEXT, "features": {"type": "array", "minItems": 1, "items": TEXT},
            "label_timestamp": {"type": "string", "default": "label_timestamp"},
            "mode": {"enum": ["as_of", "known_at"], "default": "as_of"},
            "statuses": {"type": "boolean", "default": False}, "full_names": {"type": "boolean", "default": False},
            "name": {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$"},
        },
    }
    return {"MaterializeRequest": materialize, "TrainingSetRequest": training}
