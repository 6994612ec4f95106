SET 'pipeline.name' = 'shop.dev.last_landing@1 4dcfb32a27ab';

SET 'execution.runtime-mode' = 'streaming';

SET 'table.local-time-zone' = 'UTC';

SET 'pipeline.object-reuse' = 'true';

SET 'pipeline.auto-watermark-interval' = '50 ms';

SET 'execution.buffer-timeout.interval' = '10 ms';

SET 'execution.checkpointing.interval' = '5 s';

SET 'execution.checkpointing.min-pause' = '500 ms';

SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';

SET 'table.optimizer.reuse-optimize-block-with-digest-enabled' = 'true';

SET 'table.exec.source.idle-timeout' = '0 ms';

CREATE TEMPORARY TABLE `skw_read_landings` (
  `tailnum` STRING,
  `landed_at` STRING,
  `delay` STRING,
  `gate` STRING,
  `diverted` STRING,
  `weight` STRING,
  `fare` STRING,
  `day` STRING,
  `scheduled_at` STRING,
  `skw_partition` INT NOT NULL METADATA FROM 'partition' VIRTUAL,
  `skw_offset` BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL,
  `skw_record_time` TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL,
  `skw_arrived_at` AS CAST(`skw_record_time` AS TIMESTAMP(3)),
  `skw_event_time` AS COALESCE(CASE WHEN REGEXP(`landed_at`, '^(19|20)[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{3})?Z?\z') THEN CAST(CAST(SUBSTRING(`landed_at`, 1, 10) AS DATE) AS TIMESTAMP(3)) + (CAST(SUBSTRING(`landed_at`, 12, 2) AS INT) * 3600000 + CAST(SUBSTRING(`landed_at`, 15, 2) AS INT) * 60000 + CAST(SUBSTRING(`landed_at`, 18, 2) AS INT) * 1000 + CAST('0' || SUBSTRING(`landed_at`, 21, 3) AS INT)) * INTERVAL '0.001' SECOND ELSE CASE WHEN REGEXP(`landed_at`, '^(?!0000)([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,3})?Z?\z') THEN TRY_CAST(REPLACE(REPLACE(`landed_at`, 'T', ' '), 'Z', '') AS TIMESTAMP(3)) END END, TIMESTAMP '9999-12-31 23:59:59.999'),
  WATERMARK FOR `skw_event_time` AS LEAST(`skw_event_time`, CAST(`skw_record_time` AS TIMESTAMP(3))) - INTERVAL '1.501' SECOND
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = 'broker:9092',
  'properties.security.protocol' = 'SSL',
  'topic' = 'landings',
  'properties.group.id' = 'shop.dev.last_landing.v1',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json',
  'json.ignore-parse-errors' = 'true'
);

CREATE TEMPORARY TABLE `skw_bodies_landings` (
  `payload` STRING,
  `skw_partition` INT NOT NULL METADATA FROM 'partition' VIRTUAL,
  `skw_offset` BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = 'broker:9092',
  'properties.security.protocol' = 'SSL',
  'topic' = 'landings',
  'properties.group.id' = 'shop.dev.last_landing.v1',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'raw'
);

CREATE TEMPORARY VIEW `skw_parsed_landings` AS
SELECT *,
  CASE WHEN REGEXP(`delay`, '^-?(0|[1-9][0-9]*)$') THEN TRY_CAST(`delay` AS BIGINT) END AS `skw_value_delay`,
  CASE WHEN REGEXP(`gate`, '^-?(0|[1-9][0-9]*)$') THEN TRY_CAST(`gate` AS INT) END AS `skw_value_gate`,
  CASE `diverted` WHEN 'true' THEN TRUE WHEN 'false' THEN FALSE END AS `skw_value_diverted`,
  TRY_CAST(`weight` AS DOUBLE) AS `skw_value_weight`,
  TRY_CAST(`fare` AS DECIMAL(10,2)) AS `skw_value_fare`,
  CASE WHEN REGEXP(`day`, '^(?!0000)([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)\z') THEN TRY_CAST(`day` AS DATE) END AS `skw_value_day`,
  CASE WHEN REGEXP(`scheduled_at`, '^(19|20)[0-9]{2}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{3})?Z?\z') THEN CAST(CAST(SUBSTRING(`scheduled_at`, 1, 10) AS DATE) AS TIMESTAMP(6)) + (CAST(SUBSTRING(`scheduled_at`, 12, 2) AS INT) * 3600000 + CAST(SUBSTRING(`scheduled_at`, 15, 2) AS INT) * 60000 + CAST(SUBSTRING(`scheduled_at`, 18, 2) AS INT) * 1000 + CAST('0' || SUBSTRING(`scheduled_at`, 21, 3) AS INT)) * INTERVAL '0.001' SECOND ELSE CASE WHEN REGEXP(`scheduled_at`, '^(?!0000)([0-9]{4}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|1[0-9]|2[0-8]))|([0-9]{2}(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)-02-29)[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,6})?Z?\z') THEN TRY_CAST(REPLACE(REPLACE(`scheduled_at`, 'T', ' '), 'Z', '') AS TIMESTAMP(6)) END END AS `skw_value_scheduled_at`
FROM `skw_read_landings`;

CREATE TEMPORARY VIEW `skw_judged_landings` AS
SELECT *, CASE
  WHEN `landed_at` IS NULL THEN 'landed_at is missing'
  WHEN `skw_event_time` = TIMESTAMP '9999-12-31 23:59:59.999' THEN 'landed_at is not of type timestamp'
  WHEN `tailnum` IS NULL THEN 'tailnum is missing'
  WHEN `delay` IS NOT NULL AND `skw_value_delay` IS NULL THEN 'delay is not of type int64'
  WHEN `gate` IS NOT NULL AND `skw_value_gate` IS NULL THEN 'gate is not of type int32'
  WHEN `diverted` IS NOT NULL AND `skw_value_diverted` IS NULL THEN 'diverted is not of type bool'
  WHEN `weight` IS NOT NULL AND `skw_value_weight` IS NULL THEN 'weight is not of type float64'
  WHEN `fare` IS NOT NULL AND `skw_value_fare` IS NULL THEN 'fare is not of type decimal(10,2)'
  WHEN `day` IS NOT NULL AND `skw_value_day` IS NULL THEN 'day is not of type date'
  WHEN `scheduled_at` IS NOT NULL AND `skw_value_scheduled_at` IS NULL THEN 'scheduled_at is not of type timestamp'
  WHEN `skw_event_time` <= `skw_arrived_at` - INTERVAL '1.5' SECOND THEN 'late'
  WHEN `skw_event_time` > `skw_arrived_at` + INTERVAL '5' SECOND THEN 'in the future'
END AS `skw_fault`
FROM `skw_parsed_landings`;

CREATE TEMPORARY VIEW `landings` AS
SELECT
  `tailnum` AS `tailnum`,
  `skw_event_time` AS `landed_at`,
  `skw_value_delay` AS `delay`,
  `skw_value_gate` AS `gate`,
  `skw_value_diverted` AS `diverted`,
  `skw_value_weight` AS `weight`,
  `skw_value_fare` AS `fare`,
  `skw_value_day` AS `day`,
  `skw_value_scheduled_at` AS `scheduled_at`,
  `skw_arrived_at` AS `arrived_at`
FROM `skw_parsed_landings`
WHERE CASE
  WHEN `landed_at` IS NULL THEN 'landed_at is missing'
  WHEN `skw_event_time` = TIMESTAMP '9999-12-31 23:59:59.999' THEN 'landed_at is not of type timestamp'
  WHEN `tailnum` IS NULL THEN 'tailnum is missing'
  WHEN `delay` IS NOT NULL AND `skw_value_delay` IS NULL THEN 'delay is not of type int64'
  WHEN `gate` IS NOT NULL AND `skw_value_gate` IS NULL THEN 'gate is not of type int32'
  WHEN `diverted` IS NOT NULL AND `skw_value_diverted` IS NULL THEN 'diverted is not of type bool'
  WHEN `weight` IS NOT NULL AND `skw_value_weight` IS NULL THEN 'weight is not of type float64'
  WHEN `fare` IS NOT NULL AND `skw_value_fare` IS NULL THEN 'fare is not of type decimal(10,2)'
  WHEN `day` IS NOT NULL AND `skw_value_day` IS NULL THEN 'day is not of type date'
  WHEN `scheduled_at` IS NOT NULL AND `skw_value_scheduled_at` IS NULL THEN 'scheduled_at is not of type timestamp'
  WHEN `skw_event_time` <= `skw_arrived_at` - INTERVAL '1.5' SECOND THEN 'late'
  WHEN `skw_event_time` > `skw_arrived_at` + INTERVAL '5' SECOND THEN 'in the future'
END IS NULL;

CREATE TEMPORARY TABLE `skw_features` (
  `tailnum` STRING NOT NULL,
  `event_timestamp` TIMESTAMP(3) NOT NULL,
  `delay` BIGINT,
  `gate` INT,
  `diverted` BOOLEAN,
  `weight` DOUBLE,
  `fare` DECIMAL(10,2),
  `day` DATE,
  `scheduled_at` STRING,
  `landed_at` STRING,
  `skw_headers` MAP<STRING NOT NULL, BYTES> METADATA FROM 'headers'
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = 'broker:9092',
  'properties.security.protocol' = 'SSL',
  'topic' = 'shop.dev.last_landing.v1',
  'key.format' = 'json',
  'key.fields' = 'tailnum',
  'value.format' = 'avro',
  'value.avro.timestamp_mapping.legacy' = 'false',
  'sink.delivery-guarantee' = 'at-least-once'
);

CREATE TEMPORARY TABLE `skw_dead_letters` (
  `topic` STRING,
  `partition` INT,
  `offset` BIGINT,
  `reason` STRING,
  `payload` STRING
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = 'broker:9092',
  'properties.security.protocol' = 'SSL',
  'topic' = 'shop.dev.last_landing.v1.dead-letters',
  'format' = 'json',
  'sink.delivery-guarantee' = 'at-least-once'
);

EXECUTE STATEMENT SET
BEGIN
INSERT INTO `skw_features`
SELECT
  `tailnum`,
  `event_timestamp`,
  `delay`,
  `gate`,
  `diverted`,
  `weight`,
  `fare`,
  `day`,
  CAST(CAST(`scheduled_at` AS TIMESTAMP(6)) AS STRING),
  CAST(CAST(`landed_at` AS TIMESTAMP(6)) AS STRING),
  MAP['skw1', X'1f64fade8556fb3a']
FROM (
  SELECT
    CAST(`tailnum` AS STRING) AS `tailnum`,
    CAST(`event_timestamp` AS TIMESTAMP(3)) AS `event_timestamp`,
    CAST(`delay` AS BIGINT) AS `delay`,
    CAST(`gate` AS INT) AS `gate`,
    CAST(`diverted` AS BOOLEAN) AS `diverted`,
    CASE WHEN `weight` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`weight` AS DOUBLE) END AS `weight`,
    CAST(`fare` AS DECIMAL(10,2)) AS `fare`,
    CAST(`day` AS DATE) AS `day`,
    CAST(`scheduled_at` AS TIMESTAMP(6)) AS `scheduled_at`,
    CAST(`landed_at` AS TIMESTAMP(3)) AS `landed_at`
  FROM (
    SELECT
      `landings`.`tailnum`,
      `landings`.`landed_at` AS `event_timestamp`,
      `landings`.`delay`,
      `landings`.`gate`,
      `landings`.`diverted`,
      `landings`.`weight`,
      `landings`.`fare`,
      `landings`.`day`,
      `landings`.`scheduled_at`,
      `landings`.`landed_at`
    FROM `landings`
  ) AS `result`
) AS `skw_row`;
INSERT INTO `skw_dead_letters`
SELECT 'landings', `skw_partition`, `skw_offset`, `skw_fault`, SUBSTRING(JSON_OBJECT(KEY 'tailnum' VALUE `tailnum`, KEY 'landed_at' VALUE `landed_at`, KEY 'delay' VALUE `delay`, KEY 'gate' VALUE `gate`, KEY 'diverted' VALUE `diverted`, KEY 'weight' VALUE `weight`, KEY 'fare' VALUE `fare`, KEY 'day' VALUE `day`, KEY 'scheduled_at' VALUE `scheduled_at`), 1, 100000)
FROM `skw_judged_landings`
WHERE `skw_fault` IS NOT NULL;
INSERT INTO `skw_dead_letters`
SELECT 'landings', `skw_partition`, `skw_offset`, CASE WHEN `payload` IS NULL THEN 'tombstone' WHEN `payload` IS JSON ARRAY THEN 'an array: its objects count' ELSE 'not a JSON object' END, SUBSTRING(`payload`, 1, 100000)
FROM `skw_bodies_landings`
WHERE `payload` IS NULL OR `payload` IS NOT JSON OBJECT;
END;
