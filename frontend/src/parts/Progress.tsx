// How far a run is: a thin bar that says its numbers to screen readers too.

interface Props {
  step: number;
  total: number;
  label: string;
  still?: boolean;
}

export function Progress({ step, total, label, still = false }: Props) {
  const share = total > 0 ? Math.min(1, step / total) : 0;
  return (
    <div
      className={still ? "bar still" : "bar"}
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={total}
      aria-valuenow={step}
      tabIndex={-1}
    >
      <div style={{ width: `${share * 100}%` }} />
    </div>
  );
}
