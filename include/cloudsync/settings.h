/*
 * settings.h
 *	  The cloudsync.* settings (docs/operations.md describes each). Variables
 *	  are named like the settings; defined in src/settings.c.
 */
#ifndef CLOUDSYNC_SETTINGS_H
#define CLOUDSYNC_SETTINGS_H

#include "postgres.h"

extern char *cs_tenant;				  /* cloudsync.tenant */
extern char *cs_user;				  /* cloudsync.user */
extern bool cs_require_tenant;		  /* superuser-set */
extern bool cs_capture;				  /* admin: off keeps changes out */
extern bool cs_enabled;				  /* off: this cluster does nothing */
extern char *cs_hosts;				  /* host names that may act; '': all */
extern char *cs_local_root;			  /* superuser; '': local is disabled */
extern int cs_max_workers;			  /* transfer workers a database */
extern int cs_max_transfers;		  /* at once in a worker */
extern int cs_max_transfers_per_connection;
extern int cs_max_trash;			  /* a connection and hour */
extern char *cs_conflict_name;		  /* mark of a file put beside another's */
extern int cs_max_document_size_mb;	  /* MB */
extern int cs_min_free_disk;		  /* percent */
extern int cs_hook_timeout;			  /* ms */
extern int cs_read_timeout;			  /* ms */
extern int cs_stability_delay;		  /* ms: cloudsync.stability_delay */
extern int cs_history_retention;	  /* minutes; -1: for ever */
extern int cs_collect_history_retention;
extern char *cs_allowed_endpoints;	  /* patterns, see reach.h */
extern char *cs_ca_file;			  /* '': the system's certificates alone */
extern char *cs_proxy;				  /* '': none */
extern char *cs_master_key_file;	  /* '': <data directory>.cloudsync.key */
extern char *cs_master_key_command;	  /* '': the file */
extern int cs_connect_timeout;		  /* ms */
extern int cs_response_timeout;		  /* ms: to the first byte */
extern int cs_low_speed_time;		  /* ms below 1 KiB/s; 0: no limit */
extern int cs_max_listing;			  /* entries of one; 0: no limit */
extern int cs_transfer_timeout;		  /* ms in all; 0: no limit */
typedef enum CsOcrSandboxSetting
{
	CS_OCR_SANDBOX_AUTO,
	CS_OCR_SANDBOX_REQUIRED,
	CS_OCR_SANDBOX_OFF
} CsOcrSandboxSetting;

extern int cs_max_watches;			  /* folders, of a database */
extern bool cs_ocr;					  /* off: documents wait */
extern char *cs_ocr_command;		  /* '': the one beside the library */
extern char *cs_ocr_languages;		  /* "fra+eng" */
extern int cs_ocr_sandbox;			  /* CsOcrSandboxSetting */
extern int cs_ocr_jobs;				  /* at once */
extern int cs_ocr_timeout;			  /* ms, a document */
extern int cs_ocr_memory_mb;		  /* MB, a process */
extern int cs_ocr_max_pages;		  /* of a document */
extern int cs_ocr_max_text_mb;		  /* MB, of a document */
#ifdef CLOUDSYNC_CRASH_POINTS
extern char *cs_crash_point; /* cloudsync.crash_point: kill -9 here */
#endif

extern void cs_define_settings(void);

#endif
