SELECT
  CAST(`window_start` AS TIMESTAMP(3)) AS `window_start`,
  CAST(`window_end` AS TIMESTAMP(3)) AS `window_end`,
  CAST(`n` AS BIGINT) AS `n`
FROM (
  WITH `skw_windowed1` AS (
    SELECT
      `eu`.`ts`,
      `eu`.`i`
    FROM `eu`
    WHERE `eu`.`i` IS NOT NULL
  )
  SELECT
    `w`.`window_start`,
    `w`.`window_end`,
    COUNT(*) AS `n`
  FROM TABLE(TUMBLE(TABLE `skw_windowed1`, DESCRIPTOR(`ts`), INTERVAL '7' DAY, INTERVAL '4' DAY)) AS `w`
  GROUP BY `w`.`window_start`, `w`.`window_end`
) AS `result`
