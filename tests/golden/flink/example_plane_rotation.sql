CREATE TEMPORARY VIEW `stg_landings` AS
SELECT
  `landings`.`carrier`,
  `landings`.`tailnum`,
  `landings`.`origin`,
  `landings`.`dest`,
  `landings`.`flight`,
  `landings`.`scheduled_at`,
  `landings`.`landed_at`,
  `landings`.`arr_delay`
FROM `landings`
WHERE `landings`.`landed_at` > (`landings`.`arrived_at` - INTERVAL '1' SECOND) AND `landings`.`landed_at` <= (`landings`.`arrived_at` + INTERVAL '5' SECOND);

SELECT
  CAST(`tailnum` AS STRING) AS `tailnum`,
  CAST(`event_timestamp` AS TIMESTAMP(3)) AS `event_timestamp`,
  CAST(`plane_last_landed_at` AS TIMESTAMP(3)) AS `plane_last_landed_at`,
  CAST(`plane_last_airport` AS STRING) AS `plane_last_airport`,
  CAST(`plane_last_arr_delay` AS BIGINT) AS `plane_last_arr_delay`,
  CAST(`plane_landings_24h` AS BIGINT) AS `plane_landings_24h`
FROM (
  SELECT
    `stg_landings`.`tailnum`,
    `stg_landings`.`landed_at` AS `event_timestamp`,
    `stg_landings`.`landed_at` AS `plane_last_landed_at`,
    `stg_landings`.`dest` AS `plane_last_airport`,
    `stg_landings`.`arr_delay` AS `plane_last_arr_delay`,
    COUNT(*) OVER (PARTITION BY `stg_landings`.`tailnum` ORDER BY `stg_landings`.`landed_at` RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW) AS `plane_landings_24h`
  FROM `stg_landings`
  WHERE `stg_landings`.`tailnum` IS NOT NULL
) AS `result`;
