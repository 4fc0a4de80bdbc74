//! Pages of lists.

use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::error::ApiError;

/// Items of a page, where nothing else is said.
const PER_PAGE: u64 = 50;
/// Items of a page at most.
pub const PER_PAGE_MAX: u64 = 200;
/// Pages that can be asked for.
const PAGE_MAX: u64 = 1_000_000;

/// Which page.
#[derive(Debug, Clone, Copy, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// From 1.
    #[param(minimum = 1, maximum = 1_000_000)]
    page: Option<u64>,
    /// Items of a page, 1 to 200; 50 if left out.
    #[param(minimum = 1, maximum = 200)]
    per_page: Option<u64>,
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct Paged<T> {
    /// Those of this page.
    pub items: Vec<T>,
    /// On all pages.
    pub total: u64,
    /// Which page it is, from 1.
    pub page: u64,
    /// Items of a page at most.
    pub per_page: u64,
    /// The revision that the list is of; left out for what has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// Which page, checked.
#[derive(Debug, Clone, Copy)]
pub struct Which {
    /// From 1.
    pub page: u64,
    /// Items of a page.
    pub per_page: u64,
}

impl Paging {
    /// Checks it.
    pub fn which(self) -> Result<Which, ApiError> {
        let page = self.page.unwrap_or(1);
        let per_page = self.per_page.unwrap_or(PER_PAGE);
        if page == 0 || page > PAGE_MAX {
            return Err(ApiError::bad_request(format!("page is {page}; right would be 1 to {PAGE_MAX}")));
        }
        if per_page == 0 || per_page > PER_PAGE_MAX {
            return Err(ApiError::bad_request(format!(
                "per_page is {per_page}; right would be 1 to {PER_PAGE_MAX}"
            )));
        }
        Ok(Which { page, per_page })
    }
}

impl Which {
    /// Items before the page.
    pub fn offset(self) -> u64 {
        (self.page - 1) * self.per_page
    }

    /// The page of a whole list.
    pub fn cut<T, U>(self, all: &[T], shown: impl FnMut(&T) -> U) -> Paged<U> {
        let from = usize::try_from(self.offset()).unwrap_or(usize::MAX).min(all.len());
        let count = usize::try_from(self.per_page).unwrap_or(usize::MAX);
        let items = all[from..].iter().take(count).map(shown).collect();
        self.of(items, all.len() as u64)
    }

    /// A page that was read as one.
    pub fn of<T>(self, items: Vec<T>, total: u64) -> Paged<T> {
        Paged { items, total, page: self.page, per_page: self.per_page, revision: None }
    }
}
