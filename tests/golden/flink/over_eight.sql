SELECT
  CAST(`o` AS BIGINT) AS `o`,
  CAST(`c1` AS BIGINT) AS `c1`,
  CAST(`c2` AS BIGINT) AS `c2`,
  CAST(`c5` AS BIGINT) AS `c5`,
  CAST(`c10` AS BIGINT) AS `c10`,
  CAST(`c30` AS BIGINT) AS `c30`,
  CAST(`c60` AS BIGINT) AS `c60`,
  CAST(`c90` AS BIGINT) AS `c90`,
  CAST(`c120` AS BIGINT) AS `c120`
FROM (
  SELECT
    `o`,
    `skw_w1` AS `c1`,
    `skw_w2` AS `c2`,
    `skw_w3` AS `c5`,
    `skw_w4` AS `c10`,
    `skw_w5` AS `c30`,
    `skw_w6` AS `c60`,
    `skw_w7` AS `c90`,
    `skw_w8` AS `c120`
  FROM (
    SELECT
      `skw_w7`,
      `skw_w5`,
      `skw_w3`,
      `skw_w1`,
      `k`,
      `ts`,
      `o`,
      `skw_w2`,
      `skw_w4`,
      `skw_w6`,
      COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '120' MINUTE(3) PRECEDING AND CURRENT ROW) AS `skw_w8`
    FROM (
      SELECT
        `skw_w6`,
        `skw_w4`,
        `skw_w2`,
        `o`,
        `ts`,
        `k`,
        `skw_w1`,
        `skw_w3`,
        `skw_w5`,
        NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '90' MINUTE PRECEDING AND CURRENT ROW), -1) AS `skw_w7`
      FROM (
        SELECT
          `skw_w5`,
          `skw_w3`,
          `skw_w1`,
          `k`,
          `ts`,
          `o`,
          `skw_w2`,
          `skw_w4`,
          NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '60' MINUTE PRECEDING AND CURRENT ROW), -1) AS `skw_w6`
        FROM (
          SELECT
            `skw_w4`,
            `skw_w2`,
            `o`,
            `ts`,
            `k`,
            `skw_w1`,
            `skw_w3`,
            NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '30' MINUTE PRECEDING AND CURRENT ROW), -1) AS `skw_w5`
          FROM (
            SELECT
              `skw_w3`,
              `skw_w1`,
              `k`,
              `ts`,
              `o`,
              `skw_w2`,
              NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '10' MINUTE PRECEDING AND CURRENT ROW), -1) AS `skw_w4`
            FROM (
              SELECT
                `skw_w2`,
                `o`,
                `ts`,
                `k`,
                `skw_w1`,
                NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '5' MINUTE PRECEDING AND CURRENT ROW), -1) AS `skw_w3`
              FROM (
                SELECT
                  `skw_w1`,
                  `k`,
                  `ts`,
                  `o`,
                  NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '2' MINUTE PRECEDING AND CURRENT ROW), -1) AS `skw_w2`
                FROM (
                  SELECT
                    `o`,
                    `ts`,
                    `k`,
                    NULLIF(COUNT(*) OVER (PARTITION BY `k` ORDER BY `ts` RANGE BETWEEN INTERVAL '1' MINUTE PRECEDING AND CURRENT ROW), -1) AS `skw_w1`
                  FROM (
                    SELECT
                      `ev`.`o` AS `o`,
                      `ev`.`ts` AS `ts`,
                      `ev`.`k` AS `k`
                    FROM `ev`
                  ) AS `skw`
                ) AS `skw`
              ) AS `skw`
            ) AS `skw`
          ) AS `skw`
        ) AS `skw`
      ) AS `skw`
    ) AS `skw`
  ) AS `skw`
) AS `result`
