CREATE TEMPORARY VIEW `stg_departures` AS
SELECT
  `departures`.`carrier`,
  `departures`.`tailnum`,
  `departures`.`origin`,
  `departures`.`dest`,
  `departures`.`flight`,
  `departures`.`scheduled_at`,
  `departures`.`departed_at`,
  `departures`.`dep_delay`
FROM `departures`
WHERE `departures`.`departed_at` > (`departures`.`arrived_at` - INTERVAL '1' SECOND) AND `departures`.`departed_at` <= (`departures`.`arrived_at` + INTERVAL '5' SECOND);

SELECT
  CAST(`origin` AS STRING) AS `origin`,
  CAST(`event_timestamp` AS TIMESTAMP(3)) AS `event_timestamp`,
  CAST(`airport_departures_1h` AS BIGINT) AS `airport_departures_1h`,
  CASE WHEN `airport_mean_dep_delay_1h` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`airport_mean_dep_delay_1h` AS DOUBLE) END AS `airport_mean_dep_delay_1h`,
  CAST(`airport_longest_dep_delay_1h` AS BIGINT) AS `airport_longest_dep_delay_1h`
FROM (
  WITH `departing` AS (
    SELECT
      `stg_departures`.`origin`,
      `stg_departures`.`departed_at`,
      `stg_departures`.`dep_delay`
    FROM `stg_departures`
  )
  SELECT
    `w`.`origin`,
    `w`.`window_end` AS `event_timestamp`,
    COUNT(*) AS `airport_departures_1h`,
    CAST(SUM(`w`.`dep_delay` + CAST(0 AS DECIMAL(19,1))) AS DOUBLE) / NULLIF(CAST(COUNT(`w`.`dep_delay`) AS DOUBLE), CAST(0 AS DOUBLE)) AS `airport_mean_dep_delay_1h`,
    MAX(`w`.`dep_delay`) AS `airport_longest_dep_delay_1h`
  FROM TABLE(HOP(TABLE `departing`, DESCRIPTOR(`departed_at`), INTERVAL '5' MINUTE, INTERVAL '1' HOUR)) AS `w`
  GROUP BY `w`.`origin`, `w`.`window_start`, `w`.`window_end`
) AS `result`;
