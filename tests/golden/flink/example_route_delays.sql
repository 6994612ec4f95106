SELECT
  CAST(`origin` AS STRING) AS `origin`,
  CAST(`dest` AS STRING) AS `dest`,
  CAST(`event_timestamp` AS TIMESTAMP(3)) AS `event_timestamp`,
  CAST(`route_landings_30d` AS BIGINT) AS `route_landings_30d`,
  CASE WHEN `route_mean_arr_delay_30d` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`route_mean_arr_delay_30d` AS DOUBLE) END AS `route_mean_arr_delay_30d`
FROM (
  SELECT
    `origin`,
    `dest`,
    `event_timestamp`,
    `route_landings_30d`,
    `route_mean_arr_delay_30d`
  FROM (
    SELECT
      `origin`,
      `dest`,
      `event_timestamp`,
      `route_landings_30d`,
      `route_mean_arr_delay_30d`,
      ROW_NUMBER() OVER (PARTITION BY `origin`, `dest`, `event_timestamp`, `route_landings_30d`, `route_mean_arr_delay_30d` ORDER BY `event_timestamp`) AS `skw_place`
    FROM (
      SELECT
        `stg_landings`.`origin`,
        `stg_landings`.`dest`,
        `stg_landings`.`landed_at` AS `event_timestamp`,
        COUNT(*) OVER (PARTITION BY `stg_landings`.`origin`, `stg_landings`.`dest` ORDER BY `stg_landings`.`landed_at` RANGE BETWEEN INTERVAL '30' DAY PRECEDING AND CURRENT ROW) AS `route_landings_30d`,
        CAST(CAST(SUM(`stg_landings`.`arr_delay`) OVER (PARTITION BY `stg_landings`.`origin`, `stg_landings`.`dest` ORDER BY `stg_landings`.`landed_at` RANGE BETWEEN INTERVAL '30' DAY PRECEDING AND CURRENT ROW) AS BIGINT) AS DOUBLE) / NULLIF(COUNT(`stg_landings`.`arr_delay`) OVER (PARTITION BY `stg_landings`.`origin`, `stg_landings`.`dest` ORDER BY `stg_landings`.`landed_at` RANGE BETWEEN INTERVAL '30' DAY PRECEDING AND CURRENT ROW), 0) AS `route_mean_arr_delay_30d`
      FROM `stg_landings`
    ) AS `skw`
  ) AS `skw`
  WHERE `skw_place` = 1
) AS `result`;
