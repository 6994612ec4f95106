SELECT
  CAST(`origin` AS STRING) AS `origin`,
  CAST(`event_timestamp` AS TIMESTAMP(3)) AS `event_timestamp`,
  CASE WHEN `temp` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`temp` AS DOUBLE) END AS `temp`,
  CASE WHEN `wind_speed` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`wind_speed` AS DOUBLE) END AS `wind_speed`,
  CASE WHEN `wind_gust` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`wind_gust` AS DOUBLE) END AS `wind_gust`,
  CASE WHEN `precip` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`precip` AS DOUBLE) END AS `precip`,
  CASE WHEN `pressure` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`pressure` AS DOUBLE) END AS `pressure`,
  CASE WHEN `visib` = 0 THEN CAST(0 AS DOUBLE) ELSE CAST(`visib` AS DOUBLE) END AS `visib`
FROM (
  SELECT
    `stg_weather`.`origin`,
    `stg_weather`.`observed_at` AS `event_timestamp`,
    `stg_weather`.`temp`,
    `stg_weather`.`wind_speed`,
    `stg_weather`.`wind_gust`,
    `stg_weather`.`precip`,
    `stg_weather`.`pressure`,
    `stg_weather`.`visib`
  FROM `stg_weather`
) AS `result`;
