SET 'pipeline.name' = 'shop.dev.packed@1 7f37b5981d43';

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

CREATE TEMPORARY TABLE `skw_read_packed_landings` (
  `tailnum` STRING,
  `landed_at` TIMESTAMP_LTZ(3),
  `delay` BIGINT,
  `picture` BYTES,
  `skw_partition` INT NOT NULL METADATA FROM 'partition' VIRTUAL,
  `skw_offset` BIGINT NOT NULL METADATA FROM 'offset' VIRTUAL,
  `skw_record_time` TIMESTAMP_LTZ(3) NOT NULL METADATA FROM 'timestamp' VIRTUAL,
  `skw_arrived_at` AS CAST(`skw_record_time` AS TIMESTAMP(3)),
  `skw_event_time` AS COALESCE(CAST(`landed_at` AS TIMESTAMP(3)), TIMESTAMP '9999-12-31 23:59:59.999'),
  WATERMARK FOR `skw_event_time` AS LEAST(`skw_event_time`, CAST(`skw_record_time` AS TIMESTAMP(3))) - INTERVAL '1.001' SECOND
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = 'broker:9092',
  'properties.security.protocol' = 'SSL',
  'topic' = 'packed',
  'properties.group.id' = 'shop.dev.packed.v1',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'avro',
  'avro.timestamp_mapping.legacy' = 'false'
);

CREATE TEMPORARY VIEW `skw_parsed_packed_landings` AS
SELECT *
FROM `skw_read_packed_landings`;

CREATE TEMPORARY VIEW `skw_judged_packed_landings` AS
SELECT *, CASE
  WHEN `landed_at` IS NULL THEN 'landed_at is missing'
  WHEN `tailnum` IS NULL THEN 'tailnum is missing'
  WHEN `skw_event_time` <= `skw_arrived_at` - INTERVAL '1' SECOND THEN 'late'
  WHEN `skw_event_time` > `skw_arrived_at` + INTERVAL '5' SECOND THEN 'in the future'
END AS `skw_fault`
FROM `skw_parsed_packed_landings`;

CREATE TEMPORARY VIEW `packed_landings` AS
SELECT
  `tailnum` AS `tailnum`,
  `skw_event_time` AS `landed_at`,
  `delay` AS `delay`,
  `picture` AS `picture`,
  `skw_arrived_at` AS `arrived_at`
FROM `skw_parsed_packed_landings`
WHERE CASE
  WHEN `landed_at` IS NULL THEN 'landed_at is missing'
  WHEN `tailnum` IS NULL THEN 'tailnum is missing'
  WHEN `skw_event_time` <= `skw_arrived_at` - INTERVAL '1' SECOND THEN 'late'
  WHEN `skw_event_time` > `skw_arrived_at` + INTERVAL '5' SECOND THEN 'in the future'
END IS NULL;

CREATE TEMPORARY TABLE `skw_features` (
  `tailnum` STRING NOT NULL,
  `event_timestamp` TIMESTAMP(3) NOT NULL,
  `landings_1h` BIGINT,
  `skw_headers` MAP<STRING NOT NULL, BYTES> METADATA FROM 'headers'
) WITH (
  'connector' = 'kafka',
  'properties.bootstrap.servers' = 'broker:9092',
  'properties.security.protocol' = 'SSL',
  'topic' = 'shop.dev.packed.v1',
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
  'topic' = 'shop.dev.packed.v1.dead-letters',
  'format' = 'json',
  'sink.delivery-guarantee' = 'at-least-once'
);

EXECUTE STATEMENT SET
BEGIN
INSERT INTO `skw_features`
SELECT
  `tailnum`,
  `event_timestamp`,
  `landings_1h`,
  MAP['skw1', X'19028498a0e4e127']
FROM (
  SELECT
    CAST(`tailnum` AS STRING) AS `tailnum`,
    CAST(`event_timestamp` AS TIMESTAMP(3)) AS `event_timestamp`,
    CAST(`landings_1h` AS BIGINT) AS `landings_1h`
  FROM (
    SELECT
      `packed_landings`.`tailnum`,
      `packed_landings`.`landed_at` AS `event_timestamp`,
      COUNT(*) OVER (PARTITION BY `packed_landings`.`tailnum` ORDER BY `packed_landings`.`landed_at` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS `landings_1h`
    FROM `packed_landings`
    WHERE `packed_landings`.`tailnum` IS NOT NULL
  ) AS `result`
) AS `skw_row`;
INSERT INTO `skw_dead_letters`
SELECT 'packed', `skw_partition`, `skw_offset`, `skw_fault`, CAST(NULL AS STRING)
FROM `skw_judged_packed_landings`
WHERE `skw_fault` IS NOT NULL;
END;
