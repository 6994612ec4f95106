"""Examples of the OpenAPI document, from the project of the tutorial."""

from __future__ import annotations

from typing import Any

VIEW: dict[str, Any] = {
    "id": "8c4ff3ab-4a4b-5b9b-9d64-0d1f8a3f7a11", "name": "carrier_delays", "version": 1, "ref": "carrier_delays@1",
    "description": "How late a carrier's flights landed, over the last day and week.",
    "owner": "Flight operations", "entity": "carrier",
    "join_keys": [{"name": "carrier", "type": "string"}],
    "features": [
        {"name": "carrier_landings_24h", "type": "int64", "default": 0, "description": "Landings in 24 hours.", "ttl": None}
    ],
    "ttl": "7d", "online": True, "streamed": False, "missing": "default", "stale": "serve",
    "active_within": None, "cold_path": False, "cache": None, "model": "models/features/carrier_delays.sql",
    "freshness_sla": {"warn_after": "2h", "error_after": "6h"},
    "deprecated_at": None, "sunset_at": None, "schema_fingerprint": "5f2d8c0e9b1a7346",
}
METADATA: dict[str, Any] = {
    "freshness_ms": {"carrier_delays": 20460000, "airport_weather": 133200000},
    "status": {"carrier_landings_24h": "ok", "wind_gust": "missing"},
    "detail": {"wind_gust": "expired"},
    "event_timestamp": {"carrier_delays": "2014-01-01T06:19:00Z", "airport_weather": "2013-12-30T23:00:00Z"},
    "version": {"carrier_delays": 1, "airport_weather": 1},
}
REPLY: dict[str, Any] = {"features": {"carrier_landings_24h": 138, "wind_gust": None}, "metadata": METADATA}
VIEW_REPLY: dict[str, Any] = {
    "entity_id": "UA", "features": {"carrier_landings_24h": 138}, "event_timestamp": "2014-01-01T06:19:00Z",
    "metadata": {
        "freshness_ms": {"carrier_delays": 20460000}, "status": {"carrier_landings_24h": "ok"}, "detail": {},
        "event_timestamp": {"carrier_delays": "2014-01-01T06:19:00Z"}, "version": {"carrier_delays": 1},
    },
}
REQUEST: dict[str, Any] = {
    "features": ["carrier_delays@1:carrier_landings_24h", "airport_weather@1:wind_gust"],
    "entities": {"carrier": "UA", "origin": "EWR"},
}
BATCH_REQUEST: dict[str, Any] = {
    "feature_service": "late_flights",
    "entities": [
        {"carrier": "UA", "tailnum": "N14228", "origin": "EWR", "dest": "IAH"},
        {"carrier": "B6", "tailnum": "N804JB", "origin": "JFK", "dest": "BQN"},
    ],
}
PROBLEM: dict[str, Any] = {
    "type": "urn:skewless:error:SK422", "title": "features are missing whose view refuses missing values", "status": 422,
    "detail": 'no valid row for "carrier_landings_24h". The definition of carrier_delays@1 says missing: error.',
    "code": "SK422", "hint": "Ask without these features, or set missing: default or missing: null on the view.",
    "features": ["carrier_landings_24h"],
}
JOB: dict[str, Any] = {
    "job_id": "0b7e5a52-9a1c-4a63-8f0e-3f1c6c2f9d11", "kind": "materialize", "subject": "carrier_delays@1", "status": "running",
    "progress": 0.25, "note": "carrier_delays@1 2013-04-01 to 2013-05-01",
    "arguments": {"view": "carrier_delays@1", "start_date": None, "end_date": None, "target": "both"}, "result": None,
    "error": None, "attempts": 1, "submitted_at": "2014-01-01T12:00:00Z", "started_at": "2014-01-01T12:00:00Z",
    "finished_at": None,
}
MATERIALIZE: dict[str, Any] = {"start_date": "2013-12-01", "end_date": "2014-01-01", "target": "both"}
TRAINING_REQUEST: dict[str, Any] = {"labels": "labels.parquet", "feature_service": "late_flights", "name": "late_flights"}
FEAST_REQUEST: dict[str, Any] = {
    "features": ["carrier_delays:carrier_landings_24h"], "entities": {"carrier": ["UA", "XX"]},
}
FEAST_REPLY: dict[str, Any] = {
    "results": [
        {"values": ["UA", "XX"], "statuses": ["PRESENT", "PRESENT"],
         "event_timestamps": ["1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]},
        {"values": [138, 0], "statuses": ["PRESENT", "NOT_FOUND"],
         "event_timestamps": ["2014-01-01T06:19:00Z", "1970-01-01T00:00:00Z"]},
    ],
    "metadata": {"feature_names": ["carrier", "carrier_landings_24h"]},
}
NEW_VIEW: dict[str, Any] = {
    "name": "carrier_counts", "entity": "carrier", "description": "Flights that landed.",
    "sql": "select carrier, landed_at as event_timestamp, count(*) over (partition by carrier order by landed_at) as landings\n"
    "from {{ ref('stg_flights') }}\nwhere {{ skewless.input_window('landed_at') }}",
    "columns": [
        {"name": "carrier", "data_type": "varchar"}, {"name": "event_timestamp", "data_type": "timestamp"},
        {"name": "landings", "data_type": "bigint", "default": 0, "description": "Landings so far."},
    ],
    "settings": {"ttl": "7d"},
}
REGISTERED: dict[str, Any] = {
    "feature_view": VIEW, "files": ["models/features/carrier_counts.sql", "models/features/carrier_counts.yml"],
    "plan": {"id": "4f9c2a81d07b", "changes": ["added view carrier_counts@1"]}, "snapshot": "0f3a9c1d5e7b2468",
}
