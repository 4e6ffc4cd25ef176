-- The demo's application, as an accounting firm might have it: customers, their
-- dossiers, each with an accountant and files. Nothing here knows of cloudsync.
CREATE SCHEMA firm;

CREATE TABLE firm.staff (
    staff_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    position text NOT NULL
);

CREATE TABLE firm.customer (
    customer_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    city text NOT NULL
);

CREATE TABLE firm.dossier (
    dossier_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    reference text NOT NULL UNIQUE,
    title text NOT NULL,
    fiscal_year integer NOT NULL,
    procedure text NOT NULL,
    opened_on date NOT NULL DEFAULT current_date,
    customer_id integer NOT NULL REFERENCES firm.customer,
    accountant_id integer NOT NULL REFERENCES firm.staff
);

CREATE TABLE firm.dossier_file (
    file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    dossier_id bigint NOT NULL REFERENCES firm.dossier ON DELETE CASCADE,
    name text NOT NULL,
    content bytea NOT NULL,
    added_at timestamptz NOT NULL DEFAULT now()
);
-- Read by slices without decompressing, whatever the size.
ALTER TABLE firm.dossier_file ALTER content SET STORAGE EXTERNAL;
CREATE INDEX ON firm.dossier_file (dossier_id);

INSERT INTO firm.staff (name, position) VALUES
    ('Claire Dubois', 'chartered accountant'),
    ('Karim Haddad', 'tax lawyer');

INSERT INTO firm.customer (name, city) VALUES
    ('Boulangerie Martin', 'Lyon'),
    ('Garage du Lac', 'Annecy'),
    ('A/B Conseil', 'Lyon');

INSERT INTO firm.dossier (reference, title, fiscal_year, procedure, customer_id, accountant_id) VALUES
    ('2025-014', 'Annual accounts', 2025, 'accounts', 1, 1),
    ('2026-003', 'VAT third quarter', 2026, 'tax', 1, 1),
    ('2026-007', 'Opening of the dossier', 2026, 'accounts', 2, 1),
    ('2026-011', 'Reply to the tax office', 2026, 'litigation', 3, 2);
