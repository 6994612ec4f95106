SELECT
  CAST(`k` AS STRING) AS `k`,
  CAST(`t` AS TIMESTAMP(3)) AS `t`,
  CAST(`m` AS BIGINT) AS `m`
FROM (
  SELECT
    `ev`.`k`,
    `ev`.`window_start` AS `t`,
    MAX(`ev`.`o`) AS `m`
  FROM TABLE(TUMBLE(TABLE `ev`, DESCRIPTOR(`ts`), INTERVAL '15' MINUTE)) AS `ev`
  GROUP BY `ev`.`k`, `ev`.`window_start`, `ev`.`window_end`
) AS `result`
