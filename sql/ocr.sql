/*
 * ocr.sql: what was read in a document: its text by page, and the words that
 * searches look for (B2).
 */

-- The text of one page. A text layer was in the document, a scan was read by
-- OCR, with its mean confidence in per cent; plain text has one page.
CREATE TABLE cloudsync.page (
    document_id bigint NOT NULL REFERENCES cloudsync.document,
    page_no integer NOT NULL,
    source text NOT NULL CHECK (source IN ('layer', 'ocr', 'plain')),
    confidence real,
    text text NOT NULL,
    PRIMARY KEY (document_id, page_no)
);

-- The words of a document's name and text. Apart from the document, whose row
-- changes with each step in the inbox.
CREATE TABLE cloudsync.words (
    document_id bigint PRIMARY KEY REFERENCES cloudsync.document,
    words tsvector NOT NULL
);
CREATE INDEX words_words ON cloudsync.words USING gin (words);
