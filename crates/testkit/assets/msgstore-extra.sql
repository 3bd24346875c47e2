-- Tables of the example's msgstore.db that the corpus schema (benches/corpus/schema.sql) leaves out.

CREATE TABLE message_poll (
  message_row_id           INTEGER PRIMARY KEY,
  selectable_options_count INTEGER
);
CREATE TABLE message_poll_option (
  _id                INTEGER PRIMARY KEY AUTOINCREMENT,
  message_row_id     INTEGER,
  option_sha256_hash TEXT,
  option_name        TEXT,
  vote_total         INTEGER
);
CREATE TABLE message_add_on_poll_vote (
  message_add_on_row_id INTEGER PRIMARY KEY,
  sender_timestamp      INTEGER
);
CREATE TABLE message_add_on_poll_vote_selected_option (
  _id                    INTEGER PRIMARY KEY AUTOINCREMENT,
  message_add_on_row_id  INTEGER,
  message_poll_option_id INTEGER
);
CREATE TABLE message_call_log (
  message_row_id  INTEGER PRIMARY KEY,
  call_log_row_id INTEGER
);
