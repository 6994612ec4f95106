SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`n` AS BIGINT) AS `n`,
  CAST(`t` AS BIGINT) AS `t`
FROM (
  SELECT
    `o`,
    `skw_w1` - `skw_w2` AS `n`,
    CASE WHEN (`skw_w3` - `skw_w4`) > 0 THEN `skw_w5` - COALESCE(`skw_w6`, 0) END AS `t`
  FROM (
    SELECT
      `skw_w5`,
      `skw_w3`,
      `skw_w1`,
      `i`,
      `k`,
      `ts`,
      `o`,
      COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '0' SECOND PRECEDING AND CURRENT ROW) AS `skw_w2`,
      COUNT(`i`) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '0' SECOND PRECEDING AND CURRENT ROW) AS `skw_w4`,
      CAST(SUM(CAST(`i` AS BIGINT)) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '0' SECOND PRECEDING AND CURRENT ROW) AS BIGINT) AS `skw_w6`
    FROM (
      SELECT
        `o`,
        `ts`,
        `k`,
        `i`,
        NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w1`,
        NULLIF(COUNT(`i`) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW), -1) AS `skw_w3`,
        CASE WHEN `ts` >= TIMESTAMP '0001-01-01 00:00:00' THEN CAST(SUM(CAST(`i` AS BIGINT)) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' HOUR PRECEDING AND CURRENT ROW) AS BIGINT) END AS `skw_w5`
      FROM (
        SELECT
          `ev`.`o` AS `o`,
          `ev`.`ts` AS `ts`,
          `ev`.`k` AS `k`,
          `ev`.`i` AS `i`
        FROM `ev`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
) AS `result`
