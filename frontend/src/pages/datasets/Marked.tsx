// The service's sentences set names in backticks. They are English in every language.

export function Marked({ text }: { text: string }) {
  const parts = text.split(/`([^`]+)`/);
  return (
    <span lang="en">
      {parts.map((part, at) => {
        const key = `${at} ${part}`;
        return at % 2 === 1 ? <code key={key}>{part}</code> : part;
      })}
    </span>
  );
}
