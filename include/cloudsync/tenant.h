/*
 * tenant.h
 *	  For whom the session acts: tenant, person and role, by the rules of spec 2
 *	  and S2.
 */
#ifndef CLOUDSYNC_TENANT_H
#define CLOUDSYNC_TENANT_H

#include "postgres.h"

/*
 * The role for whom the session acts: the outer user, also inside our SECURITY
 * DEFINER functions; inside cs_enter_owner the owner; InvalidOid in any other
 * security-restricted operation, where nobody is trusted.
 */
extern Oid cs_acting_role(void);
/* Set by cs_enter_owner / cs_leave_owner; InvalidOid: none. */
extern Oid cs_acting_override;
extern void cs_acting_set_override(Oid owner); /* forgotten at an abort */

/* "" for none. palloc'd or static. */
extern const char *cs_acting_tenant(void);
extern const char *cs_acting_user_name(void);
extern bool cs_acting_sees(const char *tenant);
extern bool cs_acting_sees_all(void);

#endif
