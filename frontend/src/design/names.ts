// How long names are shown where there is little room; the whole name stays in the title.

/** `ft:base:tenant:suffix:id` as "suffix · id", or "id" where it has no suffix. */
export function modelName(id: string): string {
  const [ft, , , suffix, own] = id.split(":");
  if (ft !== "ft" || own === undefined) return id;
  return suffix ? `${suffix} · ${own}` : own;
}
