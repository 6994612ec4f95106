SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`i` AS INT) AS `i`,
  CAST(`i2` AS BIGINT) AS `i2`,
  CAST(`n` AS BIGINT) AS `n`,
  CAST(`m` AS BIGINT) AS `m`
FROM (
  WITH `skw_history1` AS (
    SELECT
      `dm`.`k`,
      `dm`.`ts`,
      `dm`.`v` AS `i`
    FROM `dm`
  ),
  `skw_version2` AS (
    SELECT `k`, `ts`, `i`
    FROM (
      SELECT `k`, `ts`, `i`, ROW_NUMBER() OVER (PARTITION BY `k` ORDER BY `ts` DESC) AS `skw_place` FROM `skw_history1`
    )
    WHERE `skw_place` = 1
  )
  SELECT
    `o`,
    `i`,
    `c_i` AS `i2`,
    `skw_w1` AS `n`,
    `skw_w2` AS `m`
  FROM (
    SELECT
      `skw_w1`,
      `k`,
      `ts`,
      `c_i`,
      `i`,
      `o`,
      CAST(SUM(`c_i`) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' DAY PRECEDING AND CURRENT ROW) AS BIGINT) AS `skw_w2`
    FROM (
      SELECT
        `o`,
        `i`,
        `c_i`,
        `ts`,
        `k`,
        NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w1`
      FROM (
        SELECT
          `a`.`o` AS `o`,
          `a`.`i` AS `i`,
          `c`.`i` AS `c_i`,
          `a`.`ts` AS `ts`,
          `a`.`k` AS `k`
        FROM `ev` AS `a`
        LEFT JOIN `skw_version2` FOR SYSTEM_TIME AS OF `a`.`ts` AS `c` ON `a`.`k` = `c`.`k`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
) AS `result`
