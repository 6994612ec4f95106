"""The table of error codes: code -> what it means. One line each; docs/errors.md is generated from it."""

from __future__ import annotations

CODES: dict[str, str] = {
    # SK10x: usage and configuration
    "SK100": "no skewless.yml was found here or above",
    "SK101": "skewless.yml does not parse, or holds a key or value that is not known",
    "SK102": "an option or argument of a command does not fit",
    "SK103": "a duration, instant or type does not parse",
    "SK104": "a reference to a view or feature does not parse",
    "SK105": "two features of one result have the same name",
    "SK106": "`skewless init` would overwrite a file that exists",
    "SK107": "a project name that dbt would refuse",
    # SK11x-SK14x: findings of `skewless check`
    "SK110": "a key of meta.skewless is not known",
    "SK111": "a value of meta.skewless does not fit its key",
    "SK112": "a feature view has no enforced contract",
    "SK113": "a column has no data_type, or one that features cannot have",
    "SK114": "a feature view has no event_timestamp of type timestamp",
    "SK115": "a join key is not a column, or has a type that keys cannot have",
    "SK116": "a name is reserved, or is not a plain identifier",
    "SK117": "two views give one entity different join keys or key types",
    "SK118": "the default of a feature does not fit its type",
    "SK119": "a feature view has no features",
    "SK120": "a feature service refers to something that does not exist",
    "SK121": "two features of a feature service have the same name",
    "SK122": "a feature service does not pin the version of a view",
    "SK123": "two views share one storage name",
    "SK124": "a feature view names no entity, or several",
    "SK125": "an exposure with meta.skewless is not a feature service",
    "SK130": "a view that batches push online does not declare availability_delay",
    "SK131": "a feature adds up floating-point values in no fixed order, so two runs differ",
    "SK132": "a feature adds up values of an unknown type, which may be floating-point",
    "SK133": "a view's ttl is longer than the window its values cover",
    "SK134": "the SQL of a view is not compiled, or does not parse",
    # SK20x: SQL
    # SK25x: plan and apply
    "SK250": "a snapshot of the registry does not parse, or has another format",
    "SK251": "nothing is applied yet",
    "SK252": "the plan to apply is not the plan of the project and registry as they are now",
    "SK253": "the registry changed while the plan was being applied",
    "SK254": "a change is breaking inside a version",
    "SK255": "the registry's database has a newer schema than this version of skewless, or cannot be opened",
    "SK256": "a model cannot be adopted",
    # SK3xx: values and bytes
    "SK301": "a value does not fit its declared type",
    "SK302": "a row cannot hold a value: wrong type, out of range, or an instant outside the years 1 to 9999",
    "SK303": "a join key is NULL",
    "SK304": "the online store holds bytes that are not a row of format 1",
    "SK305": "a row was written with a schema that its view has never had",
    # SK4xx: lookups
    "SK400": "a request is malformed: not JSON, not of the documented shape, or an unknown parameter",
    "SK402": "join keys of a lookup are absent or not known",
    "SK404": "a view, feature service, feature or path does not exist",
    "SK405": "a path does not take this method",
    "SK407": "a view is not served online",
    "SK410": "a view is past its sunset",
    "SK413": "a request is too large",
    "SK422": "features are missing whose view refuses missing values",
    "SK451": "the server would listen beyond loopback",
    "SK452": "the server's port is taken",
    "SK453": "the online store does not answer",
    "SK454": "a stored row does not read with this snapshot",
    # SK5xx: history
    # SK6xx: online store
    "SK600": "the online store cannot be reached",
    "SK601": "online_store of skewless.yml is not a URL that is understood",
    "SK602": "the embedded server does not start",
    "SK603": "another sync of the same view is running",
    "SK604": "the online store refused a write",
    "SK605": "a view is not pushed online",
    # SK7xx: training sets
    # SK9xx: environment
    "SK900": "an error inside skewless",
}
