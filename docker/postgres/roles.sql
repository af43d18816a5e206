-- The logins of the service, made once when the database is new. Passwords come from the container's
-- environment. The group roles own nothing and cannot log in; the migration grants them their rights.

\getenv owner_password TUNERY_OWNER_PASSWORD
\getenv api_password TUNERY_API_PASSWORD
\getenv worker_password TUNERY_WORKER_PASSWORD

SELECT format('CREATE ROLE %I NOLOGIN NOSUPERUSER NOBYPASSRLS', name)
FROM unnest(ARRAY['tunery_app', 'tunery_system']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name)
\gexec

CREATE ROLE tunery LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS
  PASSWORD :'owner_password';
CREATE ROLE tunery_api LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS
  PASSWORD :'api_password';
CREATE ROLE tunery_worker LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS
  PASSWORD :'worker_password';

-- A login has its group's rights only after SET ROLE, which every connection of the service does.
GRANT tunery_app TO tunery_api WITH INHERIT FALSE, SET TRUE;
GRANT tunery_system TO tunery_worker WITH INHERIT FALSE, SET TRUE;

CREATE DATABASE tunery OWNER tunery;
REVOKE ALL ON DATABASE tunery FROM PUBLIC;
GRANT CONNECT ON DATABASE tunery TO tunery_api, tunery_worker;
