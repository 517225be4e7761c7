// SPDX-License-Identifier: ISC
// Reads Prometheus text and makes percentiles of its histograms. Pure.

/** From a sample's name with its labels, as in the text, to its value. */
export function parseMetrics(text) {
  const samples = text.matchAll(/^([^#\n].*) (\S+)$/gm);
  return new Map(Array.from(samples, ([, name, value]) => [name, Number(value)]));
}

/** A histogram's buckets: the upper limit in seconds, and how many were in this one alone. */
export function bucketsOf(metrics, name) {
  const buckets = [];
  let below = 0;
  for (const [key, count] of metrics) {
    const limit = key.startsWith(`${name}_bucket{`) && /le="([^"]+)"/.exec(key)[1];
    if (!limit) continue;
    buckets.push({ limit: limit === "+Inf" ? Infinity : Number(limit), count: count - below });
    below = count;
  }
  return buckets;
}

export const total = (buckets) => buckets.reduce((sum, { count }) => sum + count, 0);

/** What came between two readings; all of the later one where the counters began anew. */
export function since(earlier, later) {
  const between = later.map(({ limit, count }, i) => ({ limit, count: count - (earlier[i]?.count ?? 0) }));
  return between.some(({ count }) => count < 0) ? later : between;
}

/** The value in seconds below which a part of the events is; undefined where there are none. */
export function percentile(buckets, part) {
  let wanted = total(buckets) * part;
  let from = 0;
  for (const { limit, count } of buckets) {
    if (count && wanted <= count) return limit === Infinity ? Infinity : from + ((limit - from) * wanted) / count;
    wanted -= count;
    from = limit;
  }
}
