SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`n` AS BIGINT) AS `n`,
  CAST(`m` AS BIGINT) AS `m`
FROM (
  WITH `a` AS (
    SELECT
      `ev`.`o`,
      `ev`.`k`,
      `ev`.`ts`,
      `ev`.`i`
    FROM `ev`
    WHERE `ev`.`b`
  ),
  `c` AS (
    SELECT
      `a`.`o`,
      `a`.`k`,
      `a`.`ts`,
      `a`.`i`,
      COUNT(*) OVER (PARTITION BY `a`.`k` ORDER BY `a`.`ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS `n`
    FROM `a`
  )
  SELECT
    `c`.`o`,
    `c`.`n`,
    CAST(SUM(`c`.`n`) OVER (PARTITION BY `c`.`k` ORDER BY `c`.`ts` RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) AS BIGINT) AS `m`
  FROM `c`
  WHERE `c`.`n` > 0
) AS `result`
