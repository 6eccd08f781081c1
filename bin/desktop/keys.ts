/** The key of a launch, and the tickets that windows get it for. */
import { randomBytes } from 'node:crypto';

export interface Keys {
  /** What requests must bring. */
  readonly key: string;
  /**
   * Stands in an address and is good for one use within a minute: addresses are seen by everybody who may list processes, so the
   * key itself is not in them.
   */
  newTicket(): string;
  /** The key, for a ticket that is good. */
  redeem(ticket: string): string | undefined;
}

const TICKET_MS = 60_000;

export function createKeys(nowMs: () => number = Date.now): Keys {
  const key = randomBytes(32).toString('base64url');
  const tickets = new Map<string, number>();
  return {
    key,
    newTicket() {
      const ticket = randomBytes(32).toString('base64url');
      tickets.set(ticket, nowMs() + TICKET_MS);
      return ticket;
    },
    redeem(ticket) {
      const untilMs = tickets.get(ticket);
      tickets.delete(ticket);
      return untilMs !== undefined && nowMs() <= untilMs ? key : undefined;
    },
  };
}
