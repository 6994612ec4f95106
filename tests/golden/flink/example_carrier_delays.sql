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
  CAST(`carrier` AS STRING) AS `carrier`,
  CAST(`event_timestamp` AS TIMESTAMP(3)) AS `event_timestamp`,
  CAST(`carrier_landings_24h` AS BIGINT) AS `carrier_landings_24h`,
  CAST(`carrier_late_24h` AS BIGINT) AS `carrier_late_24h`,
  CASE WHEN `carrier_mean_arr_delay_24h` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`carrier_mean_arr_delay_24h` AS DOUBLE) END AS `carrier_mean_arr_delay_24h`,
  CAST(`carrier_landings_7d` AS BIGINT) AS `carrier_landings_7d`
FROM (
  SELECT
    `carrier`,
    `event_timestamp`,
    `carrier_landings_24h`,
    `carrier_late_24h`,
    `carrier_mean_arr_delay_24h`,
    `carrier_landings_7d`
  FROM (
    SELECT
      `carrier`,
      `event_timestamp`,
      `carrier_landings_24h`,
      `carrier_late_24h`,
      `carrier_mean_arr_delay_24h`,
      `carrier_landings_7d`,
      ROW_NUMBER() OVER (PARTITION BY `carrier`, `event_timestamp`, `carrier_landings_24h`, `carrier_late_24h`, `carrier_mean_arr_delay_24h`, `carrier_landings_7d` ORDER BY `event_timestamp`) AS `skw_place`
    FROM (
      SELECT
        `carrier`,
        `landed_at` AS `event_timestamp`,
        `skw_w1` AS `carrier_landings_24h`,
        `skw_w2` AS `carrier_late_24h`,
        CAST(`skw_w3` AS DOUBLE) / NULLIF(`skw_w4`, 0) AS `carrier_mean_arr_delay_24h`,
        `skw_w5` AS `carrier_landings_7d`
      FROM (
        SELECT
          `skw_w4`,
          `skw_w3`,
          `skw_w2`,
          `skw_w1`,
          `arr_delay`,
          `landed_at`,
          `carrier`,
          COUNT(*) OVER (PARTITION BY `carrier` ORDER BY `landed_at` RANGE BETWEEN INTERVAL '7' DAY PRECEDING AND CURRENT ROW) AS `skw_w5`
        FROM (
          SELECT
            `carrier`,
            `landed_at`,
            `arr_delay`,
            NULLIF(COUNT(*) OVER (PARTITION BY `carrier` ORDER BY `landed_at` RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w1`,
            NULLIF(COUNT(CASE WHEN `arr_delay` >= 30 THEN 1 END) OVER (PARTITION BY `carrier` ORDER BY `landed_at` RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w2`,
            CASE WHEN `landed_at` >= TIMESTAMP '0001-01-01 00:00:00' THEN CAST(SUM(`arr_delay`) OVER (PARTITION BY `carrier` ORDER BY `landed_at` RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW) AS BIGINT) END AS `skw_w3`,
            NULLIF(COUNT(`arr_delay`) OVER (PARTITION BY `carrier` ORDER BY `landed_at` RANGE BETWEEN INTERVAL '24' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w4`
          FROM (
            SELECT
              `stg_landings`.`carrier` AS `carrier`,
              `stg_landings`.`landed_at` AS `landed_at`,
              `stg_landings`.`arr_delay` AS `arr_delay`
            FROM `stg_landings`
          ) AS `skw`
        ) AS `skw`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
  WHERE `skw_place` = 1
) AS `result`;
