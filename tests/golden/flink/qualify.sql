SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`k` AS STRING) AS `k`
FROM (
  SELECT
    `o`,
    `k`
  FROM (
    SELECT
      `o`,
      `k`,
      `ts`,
      ROW_NUMBER() OVER (PARTITION BY `k` ORDER BY `ts`) AS `skw_w1`
    FROM (
      SELECT
        `eu`.`o` AS `o`,
        `eu`.`k` AS `k`,
        `eu`.`ts` AS `ts`
      FROM `eu`
    ) AS `skw`
  ) AS `skw`
  WHERE `skw_w1` = 1
) AS `result`
