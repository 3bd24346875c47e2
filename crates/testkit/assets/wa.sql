-- The part of wa.db that readers need: the address book as the chat app sees it.

CREATE TABLE wa_contacts (
  _id              INTEGER PRIMARY KEY AUTOINCREMENT,
  jid              TEXT NOT NULL,
  is_whatsapp_user BOOLEAN NOT NULL,
  status           TEXT,
  number           TEXT,
  display_name     TEXT,
  given_name       TEXT,
  family_name      TEXT,
  wa_name          TEXT,
  sort_name        TEXT,
  nickname         TEXT,
  company          TEXT,
  title            TEXT
);
