import os

from celery import current_app
from django.core.wsgi import get_wsgi_application

from headachemd import broker

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "headachemd.settings")
application = get_wsgi_application()
broker.for_publishers(current_app)
