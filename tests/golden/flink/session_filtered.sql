SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`window_start` AS TIMESTAMP(3)) AS `window_start`,
  CAST(`window_end` AS TIMESTAMP(3)) AS `window_end`,
  CAST(`n` AS BIGINT) AS `n`
FROM (
  WITH `skw_keyed1` AS (
    SELECT * FROM `ev` WHERE `k` IS NOT NULL
  )
  SELECT
    `w`.`k`,
    `w`.`window_start`,
    `w`.`window_end`,
    COUNT(*) AS `n`
  FROM TABLE(SESSION(TABLE `skw_keyed1` PARTITION BY `k`, DESCRIPTOR(`ts`), INTERVAL '30' MINUTE)) AS `w`
  WHERE `w`.`window_start` >= TIMESTAMP '0001-01-01 00:00:00' AND `w`.`i` > 0 AND `w`.`b`
  GROUP BY `w`.`k`, `w`.`window_start`, `w`.`window_end`
) AS `result`
