//! Counting the phones that are asked for, before anybody is told whether they have accounts.

use std::borrow::Cow;
use std::sync::PoisonError;

use super::Sambad;
use crate::access::{AccessChange, AccessOutcome, Actor};
use crate::command::{Command, IdempotencyKey, Receipt, UserRef};
use crate::discovery::{Asker, DiscoveryKey, PhoneBudget, until_tomorrow};
use crate::error::Error;
use crate::phone::{Phone, WrittenPhone};

/// Every number that a written phone asks for.
fn numbers(phone: &WrittenPhone) -> Vec<Phone> {
    phone.readings().cloned().collect()
}

impl Sambad {
    /// As [`Sambad::execute`]; the phones that `command` names count against `budget`.
    ///
    /// A service acts for a user: its phones count against the budget of that user. A retry with an idempotency key counts
    /// nothing, as its phones were counted the first time.
    ///
    /// # Errors
    /// As [`Sambad::execute`] and [`Sambad::ask_phones`].
    ///
    /// # Cancel safety
    /// As [`Sambad::execute`]; phones may be counted although the command was not queued.
    pub async fn execute_within(
        &self,
        budget: Option<&PhoneBudget>,
        command: Command,
        key: Option<IdempotencyKey>,
    ) -> Result<Receipt, Error> {
        command.validate()?;
        let charged = match (budget, command.parties()) {
            (Some(budget), Some(parties)) if parties.iter().any(|user| !matches!(user, UserRef::Id(_))) => {
                Some(self.charged(budget, parties[0]).await?)
            }
            _ => None,
        };
        let command = self.complete_national_number(command).await?;
        if let (Some(budget), Some([_, UserRef::Phone(phone)])) = (charged, command.parties()) {
            self.spend(&budget, &numbers(phone)).await?;
        }
        self.queue_command(command, key).await
    }

    /// Counts `phones` against `budget`, of which the budget may be that of the user for whom a service acts; when this returns,
    /// the caller may be told whether they have accounts. Phones that were asked for before cost a look into memory or by an
    /// index; new ones are written first.
    ///
    /// # Errors
    /// `RateLimited` when the new ones among them are more than is left of the day: none of them is counted then. `NotFound`
    /// when there is no user for whom a service says to act. `Overloaded`, `Unavailable` and `OutcomeUnknown` as
    /// [`Sambad::execute`].
    ///
    /// # Cancel safety
    /// The phones may be counted although the future was dropped.
    pub async fn ask_phones(&self, budget: &PhoneBudget, acting: Option<&UserRef>, phones: &[Phone]) -> Result<(), Error> {
        match acting {
            Some(acting) => self.spend(&*self.charged(budget, acting).await?, phones).await,
            None => self.spend(budget, phones).await,
        }
    }

    /// The budget that a request counts against in which `acting` acts. Who is named by a phone is asked for as well, unless the
    /// caller is known to be that user.
    async fn charged<'a>(&self, budget: &'a PhoneBudget, acting: &UserRef) -> Result<Cow<'a, PhoneBudget>, Error> {
        let of_user = |id| Cow::Owned(PhoneBudget { asker: Asker::User(id), per_day: budget.per_day });
        match (&budget.asker, acting) {
            (Asker::Service(_), UserRef::Id(id)) => return Ok(of_user(*id)),
            (Asker::Service(_), UserRef::Phone(phone)) => match self.user(acting).await?.value {
                Some(user) => return Ok(of_user(user.id)),
                None => self.spend(budget, &numbers(phone)).await?,
            },
            (Asker::Address(_), UserRef::Phone(phone)) => self.spend(budget, &numbers(phone)).await?,
            (Asker::User(_), _) | (_, UserRef::Id(_) | UserRef::National(_)) => {}
        }
        Ok(Cow::Borrowed(budget))
    }

    async fn spend(&self, budget: &PhoneBudget, phones: &[Phone]) -> Result<(), Error> {
        if phones.is_empty() || budget.per_day == 0 {
            return Ok(());
        }
        let asked = self.discovery_key().await?.digest(&budget.asker, phones);
        let now = self.shared.clock.now();
        let today = now.day();
        if self.shared.asked_recently.lock().unwrap_or_else(PoisonError::into_inner).knows(&asked, today) {
            return Ok(());
        }
        // Most is decided by a read, and above all refusals are, so that nobody keeps the committer busy with them.
        let spending = self.store()?.asked_before(&asked).await?.spending(&asked, today);
        let over = || Error::TooManyNewPhones { retry_after: until_tomorrow(now) };
        if spending.exceeds(budget.per_day) {
            return Err(over());
        }
        if !spending.phones.is_empty() {
            // A service may say to act for anybody: what is kept is kept of users.
            if let Asker::User(id) = &budget.asker
                && self.user(&UserRef::Id(*id)).await?.value.is_none()
            {
                return Err(Error::UserNotFound { role: "user" });
            }
            let change = AccessChange::AskPhones { asked: asked.clone(), per_day: budget.per_day };
            match self.change_access(change, Actor { name: String::new(), remote: String::new() }).await? {
                AccessOutcome::PhonesAsked { new } => self.shared.stats.new_phones.add(new),
                _ => return Err(over()),
            }
        }
        self.shared.asked_recently.lock().unwrap_or_else(PoisonError::into_inner).note(&asked, today);
        Ok(())
    }

    async fn discovery_key(&self) -> Result<&DiscoveryKey, Error> {
        let read = || async { Ok(DiscoveryKey::new(&self.store()?.discovery_key().await?)) };
        self.shared.discovery_key.get_or_try_init(read).await
    }
}
