-- From version 3 to 4: deletions that wait hide none that need not.
-- What is created here stands in schema.sql in the same words; a test compares the two.

DROP INDEX entry_due_delete;
-- By who has a say in it: an image may go by the word of a table or of a person, or has yet to be asked about.
CREATE INDEX entry_due_delete ON entry (withheld, agreed, unstaged_since)
WHERE unstaged_since IS NOT NULL AND wanted_sha256 IS NULL;
