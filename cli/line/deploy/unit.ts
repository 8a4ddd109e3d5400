/** Words as systemd.service(5) reads them: percent signs and dollars would be filled in. */
export function line(words: readonly string[]): string {
  return words
    .map((word) => {
      const plain = word.replaceAll('%', '%%').replaceAll('$', '$$$$');
      return /^[\w@%+=:,./$-]+$/.test(plain) ? plain : `"${plain.replace(/[\\"]/g, '\\$&')}"`;
    })
    .join(' ');
}

/** What a service of the same name is started by. @param calendar as in systemd.time(7) */
export function timer(calendar: string): string {
  return `[Unit]
Description=Backs up MCP servers

[Timer]
OnCalendar=${calendar}
# Not when everybody else's runs.
RandomizedDelaySec=${calendar === 'hourly' ? '10min' : '1h'}
Persistent=true

[Install]
WantedBy=timers.target
`;
}
